"""msgspec, loaded without typing_extensions.

Where that is installed (pydantic brings it), msgspec takes from it what typing has too in every
Python that this package runs on; and loading it takes a tenth of the time of a whole check.
"""

import sys

_name = "typing_extensions"
_hidden = _name not in sys.modules
if _hidden:
    sys.modules[_name] = None  # type: ignore[assignment] # so that importing it fails
try:
    import msgspec
finally:
    if _hidden:
        del sys.modules[_name]

Meta = msgspec.Meta

__all__ = ["Meta", "msgspec"]
