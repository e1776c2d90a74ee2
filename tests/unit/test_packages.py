"""What users may write as packages, and what is read from files of requirements."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import runhouse as rh
from runhouse.specs.mirror import mirrored
from runhouse.specs.package import Package
from runhouse.specs.requirements import Reader, Requirements

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("given", "sort", "text"),
    [
        ("numpy", "requirement", "numpy"),
        ("numpy==2.1", "requirement", "numpy==2.1"),
        (" torch[cpu] >= 2, < 3 ", "requirement", "torch[cpu] >= 2, < 3"),
        ("a; python_version < '3.12'", "requirement", "a; python_version < '3.12'"),
        ("a @ https://b/c.whl", "requirement", "a @ https://b/c.whl"),
        ("git+https://host/a.git@v1", "requirement", "git+https://host/a.git@v1"),
        ("gh:owner/repo", "requirement", "git+https://github.com/owner/repo"),
        ("gh:owner/re.po@v1/x", "requirement", "git+https://github.com/owner/re.po@v1/x"),
        ("pip:numpy", "requirement", "numpy"),
        ("./", "project", "./"),
        (".", "project", "."),
        ("../side", "project", "../side"),
        ("~/side", "project", "~/side"),
        ("local:./side", "project", "./side"),
        ("requirements.txt", "file", "requirements.txt"),
        ("deps/dev.in", "file", "deps/dev.in"),
        ("uv.lock", "file", "uv.lock"),
        ("pylock.gpu.toml", "file", "pylock.gpu.toml"),
        ("pyproject.toml", "file", "pyproject.toml"),
        ("conda:jupyter", "conda", "jupyter"),
        ("conda:python=3.12", "conda", "python=3.12"),
        ("mirror", "mirror", ""),
    ],
)
def test_every_form_is_understood(given: str, sort: str, text: str) -> None:
    found = rh.package(given)
    assert (found.sort, found.text) == (sort, text)
    assert Package.parse(found) is found


def test_extras_of_a_project() -> None:
    found = rh.package("sub/pyproject.toml[gpu, docs]")
    assert (found.text, found.extras) == ("sub/pyproject.toml", ("gpu", "docs"))


def test_a_path_is_a_project_or_a_file(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("")
    assert rh.package(tmp_path).sort == "project"
    assert rh.package(tmp_path / "requirements.txt").sort == "file"


@pytest.mark.parametrize(
    "given", ["", "no spaces here", "-r x", "gh:owner", "a\nb", "conda:", "=1"]
)
def test_what_is_no_package_is_told(given: str) -> None:
    with pytest.raises(ValueError, match=r"is no (package|repository)"):
        rh.package(given)


def test_what_is_no_text_is_told() -> None:
    with pytest.raises(TypeError, match="It is of type int"):
        rh.package(3)  # type: ignore[arg-type]


def read(base: Path, *packages: str, mirror: tuple[str, ...] = ()) -> Requirements:
    def export(folder: Path) -> str:
        return f"# of {folder.name}\ntiny==1.0 \\\n    --hash=sha256:ab\nlong==2\n"

    return Reader(base, export, mirror).read(map(Package.parse, packages))


def test_packages_are_joined_in_their_order(tmp_path: Path) -> None:
    found = read(tmp_path, "b", "a<2", "conda:jupyter", "mirror", "b", mirror=("m==1",))
    assert found == Requirements(("b", "a<2", "m==1"), conda=("jupyter",))


def test_a_requirements_file_with_what_it_names(tmp_path: Path) -> None:
    (tmp_path / "side").mkdir()
    (tmp_path / "side" / "pyproject.toml").write_text('[project]\ndependencies = ["of-side"]\n')
    (tmp_path / "more.txt").write_text("--index-url https://a/simple\nmore  # why\n\n")
    text = "# all\none==1 \\\n  ; python_version > '3'\n-r more.txt\n-e ./side\n"
    (tmp_path / "requirements.txt").write_text(text)
    found = read(tmp_path, "requirements.txt")
    options = "--index-url https://a/simple"
    assert found.lines == ("one==1 ; python_version > '3'", options, "more", "of-side")
    assert found.projects == (tmp_path / "side",)


def test_files_that_name_each_other_in_a_ring(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("-r b.txt\n")
    (tmp_path / "b.txt").write_text("-r a.txt\n")
    with pytest.raises(ValueError, match="in a ring"):
        read(tmp_path, "a.txt")


def test_constraints_are_told_to_be_unknown(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("-c b.txt\n")
    (tmp_path / "b.txt").write_text("")
    with pytest.raises(ValueError, match="Constraints"):
        read(tmp_path, "a.txt")


def test_a_pyproject_with_extras_and_groups(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(
        '[project]\ndependencies = ["base"]\n[project.optional-dependencies]\nBig_GPU = ["cuda"]\n'
        '[dependency-groups]\ndev = ["pytest", {include-group = "x"}]\n'
    )
    assert read(tmp_path, "pyproject.toml").lines == ("base",)
    assert read(tmp_path, "pyproject.toml[big-gpu,dev]").lines == ("base", "cuda", "pytest")
    with pytest.raises(ValueError, match="has no extra 'docs'. It has: big-gpu, dev"):
        read(tmp_path, "pyproject.toml[docs]")


def test_a_project_without_dependencies_of_its_own(tmp_path: Path) -> None:
    assert read(tmp_path, "./") == Requirements(projects=(tmp_path,))
    (tmp_path / "requirements.txt").write_text("tiny\n")
    assert read(tmp_path, "./").lines == ("tiny",)


def test_lock_files(tmp_path: Path) -> None:
    (tmp_path / "uv.lock").write_text("")
    assert read(tmp_path, "uv.lock").lines == ("tiny==1.0 --hash=sha256:ab", "long==2")
    (tmp_path / "pylock.toml").write_text("lock-version = '1.0'\n")
    assert read(tmp_path, "pylock.toml").pylock == "lock-version = '1.0'\n"
    with pytest.raises(ValueError, match="Add it to the lock file"):
        read(tmp_path, "pylock.toml", "tiny")


@pytest.mark.parametrize(
    ("package", "content", "message"),
    [
        ("nothing.txt", None, "There is no"),
        ("pyproject.toml", "= nonsense", "is not valid TOML"),
        ("./file", "x", "It is no directory"),
    ],
)
def test_files_that_cannot_be_used_are_told(
    tmp_path: Path, package: str, content: str | None, message: str
) -> None:
    if content is not None:
        (tmp_path / package).write_text(content)
    with pytest.raises(ValueError, match=message):
        read(tmp_path, package)


def test_a_mirror_has_what_is_installed_here() -> None:
    (found,) = mirrored({"pytest", "json", "runhouse", "no_such"})
    assert found == f"pytest=={pytest.__version__}"


def test_a_package_is_installed_by_its_cluster() -> None:
    class Box:
        asked: Any = None

        def install_packages(self, reqs: object, env: str | None = None) -> None:
            self.asked = (reqs, env)

    box, package = Box(), rh.package("numpy")
    assert package.to(box, env="tools") is package
    assert box.asked == ([package], "tools")
