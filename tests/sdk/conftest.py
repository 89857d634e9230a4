from importlib import util as _util
import pathlib as _pathlib

# The same fixtures as the end-to-end tests.
_spec = _util.spec_from_file_location("e2e_conftest", _pathlib.Path(__file__).parent.parent / "e2e" / "conftest.py")
_module = _util.module_from_spec(_spec)
_spec.loader.exec_module(_module)
globals().update({name: value for name, value in vars(_module).items() if not name.startswith("_")})
