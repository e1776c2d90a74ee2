"""The object store of a cluster."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from runhouse.client.endpoint import Target
from runhouse.client.reference import Reference
from runhouse.client.run import Run, read_info
from runhouse.clusters import arguments
from runhouse.clusters.calls import NO_ARGUMENTS, call_options, new_key
from runhouse.clusters.notebook import Notebooks
from runhouse.errors import ObjectNotFoundError, RunNotFoundError
from runhouse.lazy import LazyModule
from runhouse.registry.names import check_key
from runhouse.worker import inside

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable

    from runhouse.clusters.env_use import EnvLike
else:
    asyncio = LazyModule("asyncio")


class Objects(Notebooks):
    """Keep objects in a cluster's workers under names, and call them."""

    def _own(self) -> inside.Inside | None:
        """Return the worker that this code runs in, if it is one of this cluster."""
        own = inside.own()
        return own if own is not None and self._is_own_server(own.server_id) else None

    def put(self, key: str, obj: Any, env: EnvLike = None, *, persist: bool = False) -> str:
        """Keep an object in a worker's memory under a key.

        An earlier object of the key is replaced, whichever env it was in. In a worker of this
        cluster, and without another `env`, the object stays in this very process and is not copied.

        Args:
            key: The key: 1 to 63 letters, digits, `-`, `_` and `.`.
            obj: Any object that can be pickled.
            env: The env whose worker keeps it, or its name; None for the cluster's own.
            persist: Keep a copy on the host's disk too, as it is now: it is there again after a
                restart. A later `put` of the key replaces or removes that copy.

        Returns:
            The key.

        Raises:
            InvalidNameError: The key cannot be used.
            NotSerializableError: The object cannot be pickled.
            StoreFullError: The limit of the env is reached.
            ConnectError: The host cannot be reached.

        Example:
            >>> import runhouse as rh
            >>> rh.here.put("numbers", [1, 2, 3])
            'numbers'
            >>> rh.here.get("numbers")
            [1, 2, 3]
            >>> rh.here.delete("numbers")
        """
        check_key(key)
        own = self._own()
        use = self.env_use(env)
        if own is not None and not persist and (env is None or use.name == own.env):
            own.objects.check_room()
            own.objects.put(key, obj)
            return key
        self.calls.put(use, key, obj, persist=persist)
        return key

    def put_resource(
        self, resource: Any, state: dict[str, Any] | None = None, dryrun: bool = False
    ) -> str:
        """Keep a resource of this package, or any object with a name, under its own name.

        Args:
            resource: An object with an attribute `name`.
            state: Attributes to set on it there.
            dryrun: Only check; keep nothing.

        Returns:
            The key.

        Raises:
            TypeError: The object has no name.
            InvalidNameError: Its name cannot be used as a key.
            NotSerializableError: It cannot be pickled.
            ConnectError: The host cannot be reached.

        Example:
            >>> import runhouse as rh
            >>> class Rate:
            ...     name = "rate"
            ...     value = 1
            >>> rh.here.put_resource(Rate(), state={"value": 2})
            'rate'
            >>> rh.here.call("rate", "value")
            2
            >>> rh.here.delete("rate")
        """
        key = getattr(resource, "name", None)
        if not isinstance(key, str):
            msg = (
                f"{resource!r} was not put. It has no name. Use put(key, object), or give it an "
                "attribute `name`."
            )
            raise TypeError(msg)
        if dryrun:
            return check_key(key)
        self.put(key, resource)
        for name, value in (state or {}).items():
            target = Target(key=key)
            self.calls.call(target, "write", key, ((value,), {}), call_options(), method=name)
        return key

    def get(
        self, key: str, default: Any = None, remote: bool = False, stream_logs: bool = False
    ) -> Any:
        """Return a stored object, or the result of a recorded run.

        Args:
            key: The key of an object, or the name of a run.
            default: What to return when there is neither; `KeyError` raises that instead.
            remote: Return a `Reference` to the object instead of a copy.
            stream_logs: Show what unpickling prints there.

        Returns:
            A copy of the object; in the worker that holds it, the very object.

        Raises:
            ClusterNotUpError: It is of machines that are not up; a question launches none.
            ObjectNotFoundError: There is none, and `default` is `KeyError`. It is a `KeyError`.
            ConnectError: The host cannot be reached.

        Example:
            >>> import runhouse as rh
            >>> rh.here.get("nothing", default=0)
            0
            >>> rh.here.get("nothing", default=KeyError)
            Traceback (most recent call last):
                ...
            runhouse.errors.ObjectNotFoundError: ...key 'nothing' not found...
        """
        arguments.key("key", key)
        self.check_there()
        own = self._own()
        if own is not None and not remote:
            found = own.objects.find(key, default=_ABSENT)
            if found is not _ABSENT:
                return found
        try:
            if remote:
                return self._reference(key)
            options = call_options(stream_logs=stream_logs)
            return self.calls.call(Target(key=key), "get", key, NO_ARGUMENTS, options)
        except ObjectNotFoundError as error:
            if error.key != key:
                raise
            missing = error
        if not remote:
            with contextlib.suppress(RunNotFoundError):
                return self.get_run(key).result()
        if default is KeyError:
            raise missing
        return default

    def _reference(self, key: str) -> Reference:
        """Return a reference to an object that is there.

        Raises:
            ObjectNotFoundError: There is none.
        """
        options = call_options(stream_logs=False)
        self.calls.call(Target(key=key), "get", key, NO_ARGUMENTS, options, answer="none")
        return Reference(self, key)

    def call(
        self,
        module_name: str,
        method_name: str,
        *args: Any,
        stream_logs: bool = True,
        run_name: str | None = None,
        remote: bool = False,
        run_async: bool = False,
        save: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Call a method of a stored object, get its property, or iterate over it.

        Functions and classes that somebody has sent to the cluster can be called by their names.

        Args:
            module_name: The object's key, or the name of a function or class.
            method_name: A method, property or attribute; `"__iter__"`, `"__len__"` and
                `"__getitem__"` too. Empty or `"call"`: the function or object itself.
            *args: The method's arguments.
            stream_logs: Show its output here while it runs.
            run_name: Record the run under this name.
            remote: Keep the result there, and return a `Reference`.
            run_async: Return an awaitable.
            save: Keep the result on the host's disk, as a recorded run.
            **kwargs: The method's keyword arguments.

        Returns:
            The result; a generator for generator methods and `"__iter__"`.

        Raises:
            ClusterNotUpError: It is of machines that are not up; a question launches none.
            ObjectNotFoundError: There is no such object, function or class.
            AttributeError: It has no such attribute.
            Exception: What the method itself raises.

        Example:
            >>> import runhouse as rh
            >>> rh.here.put("letters", "abc")
            'letters'
            >>> rh.here.call("letters", "upper")
            'ABC'
            >>> list(rh.here.call("letters", "__iter__"))
            ['a', 'b', 'c']
            >>> rh.here.delete("letters")
        """
        arguments.key("module_name", module_name)
        arguments.member("method_name", method_name)
        self.check_there()
        target, given = Target(key=module_name), (args, kwargs)
        options = call_options(stream_logs=stream_logs, run_name=run_name)
        calls = self.calls
        if remote:
            keep = new_key(options, method_name)

            def start() -> Reference:
                info = calls.start(
                    target, "method", module_name, given, options, method=method_name, keep=keep
                )
                return Reference(self, keep, Run(self, info))

            return asyncio.to_thread(start) if run_async else start()
        fields: dict[str, Any] = {"method": method_name, "record": bool(run_name) or save}
        if run_async:
            return calls.call_async(target, "method", module_name, given, options, **fields)
        return calls.call(target, "method", module_name, given, options, **fields)

    def keys(self, env: EnvLike = None) -> list[str]:
        """Return the keys of all objects, or of those in an env, sorted.

        Args:
            env: The env; None for all.

        Raises:
            ClusterNotUpError: It is of machines that are not up; a question launches none.
            InvalidNameError: No env can have this name.
            ConnectError: The host cannot be reached.

        Example:
            >>> import runhouse as rh
            >>> rh.here.put("a", 1), rh.here.put("b", 2, env="other")
            ('a', 'b')
            >>> rh.here.keys(), rh.here.keys(env="other")
            (['a', 'b'], ['b'])
            >>> rh.here.clear()
        """
        query = "" if env is None else f"?env={quote(self.env_name(env), safe='')}"
        return [entry["key"] for entry in self.client.request("GET", f"/keys{query}")["keys"]]

    def rename(self, old: str, new: str) -> None:
        """Give an object another key; it stays where it is.

        Args:
            old: The key that it has.
            new: The key that it gets; an object that has it is replaced.

        Raises:
            ClusterNotUpError: It is of machines that are not up; a question launches none.
            ObjectNotFoundError: There is no object of the old key.
            InvalidNameError: The new key cannot be used.

        Example:
            >>> import runhouse as rh
            >>> rh.here.put("a", 1)
            'a'
            >>> rh.here.rename("a", "b")
            >>> rh.here.keys()
            ['b']
            >>> rh.here.clear()
        """
        path = f"/objects/{quote(arguments.key('old', old), safe='')}"
        self.client.request("PATCH", path, {"key": check_key(new)})
        self.client.forget_home(old)

    def delete(self, keys: str | Iterable[str]) -> None:
        """Delete objects, in whichever env they are; keys without an object do not matter.

        Args:
            keys: One key, or several.

        Raises:
            ClusterNotUpError: It is of machines that are not up; a question launches none.
            TypeError: A key is no text.
            ConnectError: The host cannot be reached.

        Example:
            >>> import runhouse as rh
            >>> rh.here.put("a", 1)
            'a'
            >>> rh.here.delete(["a", "b"])
            >>> rh.here.keys()
            []
        """
        names = [keys] if isinstance(keys, str) else list(arguments.iterable("keys", keys))
        for name in names:
            arguments.text("keys", name)
        self.client.request("POST", "/objects/delete", {"keys": names})

    def clear(self) -> None:
        """Delete all objects of all envs.

        Raises:
            ClusterNotUpError: It is of machines that are not up; a question launches none.
            ConnectError: The host cannot be reached.

        Example:
            >>> import runhouse as rh
            >>> rh.here.put("a", 1)
            'a'
            >>> rh.here.clear()
            >>> rh.here.keys()
            []
        """
        self.client.request("DELETE", "/objects")

    def get_run(self, run_name: str) -> Run:
        """Return the newest run of a name, or the run with an id.

        Args:
            run_name: The run's name, or its id.

        Returns:
            Its handle.

        Raises:
            ClusterNotUpError: It is of machines that are not up; a question launches none.
            RunNotFoundError: There is none.
            ConnectError: The host cannot be reached.

        Example:
            >>> import runhouse as rh
            >>> run = rh.function("math:factorial").to(rh.here).run(5)
            >>> rh.here.get_run(run.id).result()
            120
        """
        path = f"/runs/{quote(arguments.key('run_name', run_name), safe='')}"
        return Run(self, read_info(self.client.request("GET", path)))


_ABSENT = object()
