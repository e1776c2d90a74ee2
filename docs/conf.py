"""How Sphinx makes the documentation: `make docs`. Nothing is fetched while it does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pygments.lexers.shell import BashSessionLexer

from runhouse.version import __version__

project = "runhouse"
author = "the runhouse developers"
copyright = "the runhouse developers, Apache-2.0"  # noqa: A001 - Sphinx's own word
release = version = __version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosectionlabel",
    "sphinx.ext.intersphinx",
    "sphinx.ext.napoleon",
    "myst_parser",
]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
default_role = "code"  # `name` in docstrings is code, as it is in Markdown
keep_warnings = True

# Sections are referred to by their titles; those that several pages have are not.
suppress_warnings = ["autosectionlabel.*"]

autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_inherit_docstrings = True
python_maximum_signature_line_length = 88

# What our signatures name of the standard library, as a list of our own: no network is needed.
intersphinx_mapping = {"python": ("https://docs.python.org/3", "python.inv")}

# A name that is written and is not there is an error; but many types in signatures are nobody's
# business, and have no page.
nitpicky = True
nitpick_ignore_regex = [("py:class", ".*"), ("py:.*", r"(.*\.)?~?(Self|P|R|T|PathLike)")]

myst_heading_anchors = 3
myst_enable_extensions = ["attrs_inline", "deflist"]

html_theme = "furo"
html_title = f"runhouse {__version__}"
html_static_path = ["_static"]
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {"navigation_with_keys": True}

if TYPE_CHECKING:
    from sphinx.application import Sphinx


def setup(app: Sphinx) -> None:
    """Take `cli` for the language of what is typed into a terminal."""
    app.add_lexer("cli", BashSessionLexer)
