"""moto, in this process, for everything that is not one of our own services."""

from __future__ import annotations

import gzip
import importlib
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from hikkoshi.base.collection import no_collection

Environ = dict[str, Any]
WsgiApplication = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]


class MotoFallback:
    """moto's own dispatcher, imported when first needed (it takes seconds) or by `warm`."""

    def __init__(
        self,
        account_id: str,
        lay_over: Sequence[Callable[[], None]] = (),
        region: str = "ap-northeast-1",
    ) -> None:
        """lay_over: called once moto is there, by rooms that answer some of its questions."""
        self._account_id = account_id
        self._region = region
        self._lay_over = lay_over
        self._application: WsgiApplication | None = None
        self._lock = threading.Lock()

    def warm(self, region: str) -> threading.Thread:
        """Import moto and make the default VPC in a thread of its own."""
        thread = threading.Thread(
            target=self._make_default_network, args=(region,), name="front-warm-moto", daemon=True
        )
        thread.start()
        return thread

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        environ["HTTP_X_MOTO_ACCOUNT_ID"] = self._account_id
        return self._load()(environ, start_response)

    def _load(self) -> WsgiApplication:
        with self._lock:
            if self._application is None:
                application = _moto_application()
                _import_ec2(self._region)
                _leave_policies_out()
                for each in self._lay_over:
                    each()
                # Last: what failed half-way must not answer as if it were whole.
                self._application = application
            return self._application

    def _make_default_network(self, region: str) -> None:
        with no_collection():
            self._load()
            from moto.backends import get_backend

            # Made when first looked at: the default VPC, a subnet a zone, the security group.
            get_backend("ec2")[self._account_id][region].describe_vpcs()


def _import_ec2(region: str) -> None:
    """moto's EC2 reads at its import, for every region of AWS, which instance types are offered
    there: 46 MB and a second. A region here is one region, and the others' offerings stay empty.
    What all the types say of themselves, which nobody alters, is kept once: 7 MB less."""
    import moto.utilities.utils as reading

    whole = reading.load_resource

    def load(path: str, *arguments: Any) -> Any:
        name = path.rpartition("/")[2]
        if "instance_type_offerings" in path and not name.startswith(f"{region}."):
            return []
        if name == "instance_types.json":
            return _shared(gzip.decompress(reading.load_resource_as_bytes(f"{path}.gz")))
        return whole(path, *arguments)

    reading.load_resource = load
    try:
        import moto.ec2.models  # noqa: F401
    finally:
        reading.load_resource = whole


def _leave_policies_out() -> None:
    """The policies that AWS manages are a text of 5 MB that moto holds, and reads only where
    MOTO_IAM_LOAD_MANAGED_POLICIES is set or for SSO Admin, which gets it read again."""
    import moto.iam.aws_managed_policies as policies
    import moto.iam.models as iam
    from moto.settings import load_iam_aws_managed_policies

    is_left_out = "aws_managed_policies_data" not in vars(iam)
    if is_left_out or load_iam_aws_managed_policies():
        return
    del iam.aws_managed_policies_data, policies.aws_managed_policies_data

    def read_again(name: str) -> Any:
        if name != "aws_managed_policies_data":
            raise AttributeError(name)
        del policies.__getattr__
        return importlib.reload(policies).aws_managed_policies_data

    policies.__getattr__ = read_again


def _shared(document: bytes) -> dict[str, dict[str, Any]]:
    """JSON of objects of which many have the same members; each member is made once."""
    rows = msgspec.json.decode(document, type=dict[str, dict[str, msgspec.Raw]])
    made: dict[bytes, Any] = {}
    for row in rows.values():
        for value in row.values():
            text = bytes(value)
            if text not in made:
                made[text] = msgspec.json.decode(value)
    return {
        name: {key: made[bytes(value)] for key, value in row.items()} for name, row in rows.items()
    }


def _moto_application() -> WsgiApplication:
    from moto.server import DomainDispatcherApplication, create_backend_app

    class Moto(DomainDispatcherApplication):  # type: ignore[misc]
        def get_backend_for_host(self, host: str | None) -> Any:
            # moto would print, and then fail with an AttributeError.
            is_known = not host or any(
                pattern.match(f"http://{host}") for _, pattern in self.backend_url_patterns
            )
            if not is_known and "amazonaws.com" in str(host):
                raise NotImplementedError(f"moto has no {str(host).partition('.')[0]}")
            return super().get_backend_for_host(host)

    application: WsgiApplication = Moto(create_backend_app)
    return application
