"""moto's CloudFormation, imported; whoever wants it takes `models` and `parsing` from here.

It imports the models of every service, and API Gateway's want a validator of OpenAPI documents that
is not installed. An empty module stands in for them, so that the rest can be had: AWS::ApiGateway
resources are then, truthfully, not implemented.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types

_WANTED = "openapi_spec_validator"
if importlib.util.find_spec(_WANTED) is None and "moto.apigateway" not in sys.modules:
    _models = types.ModuleType("moto.apigateway.models")
    _models.__dict__["apigateway_backends"] = None
    sys.modules[_models.__name__] = _models
    importlib.import_module("moto.cloudformation.parsing")
    # Whoever asks for API Gateway itself meets the missing validator, as before.
    del sys.modules[_models.__name__], sys.modules["moto.apigateway"]

from moto.cloudformation import models, parsing, responses  # noqa: E402

__all__ = ["models", "parsing", "responses"]
