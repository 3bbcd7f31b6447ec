"""Which weights a command uses, said once and not in every command."""

import argparse
import os
import tomllib
from pathlib import Path

from cosy_jax.cli.output import say
from cosy_jax.errors import CosyError
from cosy_jax.files import home
from cosy_jax.hub.names import RELEASES, find_downloaded

_VARIABLE = "COSY_JAX_WEIGHTS"
_EMBEDDED = Path(__file__).resolve().parents[2] / "weights" / "embedded"  # of a checkout; absent where it is installed


def add_weights_option(parser: argparse.ArgumentParser, purpose: str = "") -> None:
    """The option of every command that runs the network; `find_weights` does what it says."""
    where = f"default: {_VARIABLE}, then `weights` in ~/.config/cosy_jax/config.toml, then the embedded model"
    parser.add_argument(
        "--weights",
        metavar="DIR",
        help=f"{purpose or 'a folder that `cosy-jax convert` wrote'}, or a name that was downloaded ({where})",
    )


def find_weights(given: str | None) -> str:
    """The folder that was given, or else that of the environment, of the configuration file, or of the checkout's
    embedded model; says which, unless it was given. In place of a folder each may have the name under which weights
    were downloaded. CosyError where nobody names one, or the file is faulty."""
    if given is not None:
        return _folder(given)
    found, origin = _at_hand()
    if found is None:
        file = _configuration() or "a configuration file"
        raise CosyError(
            f'Say which weights: give --weights DIR, set {_VARIABLE}, or write weights = "DIR" into {file}.'
        )
    say(f"weights: {found}{origin}")
    return found


def weights_at_hand(given: str | None) -> str | None:
    """As `find_weights`, for commands that can do without: None where nobody names any, and not a word."""
    return _folder(given) if given is not None else _at_hand()[0]


def _folder(named: str, base: Path = Path()) -> str:
    """The folder of this path, counted from `base`, or else that of the weights that were downloaded under the name."""
    path = str(base / named)
    if not os.path.exists(path):
        if found := find_downloaded(named):
            return str(found)
        if named in RELEASES:
            raise CosyError(f"{named} was not downloaded yet: run `cosy-jax download {named}` first.")
    return path


def _at_hand() -> tuple[str | None, str]:
    """The weights that nobody had to name, and what is said of where they come from."""
    if named := os.environ.get(_VARIABLE):
        return _folder(named), f" ({_VARIABLE})"
    if (path := _configuration()) and (named := _configured(path)):
        return named, f" ({path})"
    if (_EMBEDDED / "config.json").is_file():
        return str(_EMBEDDED), ", the embedded model, which is small and speaks English"
    return None, ""


def _configuration() -> Path | None:
    """The configuration file's place; None without a home."""
    folder = os.environ.get("XDG_CONFIG_HOME", "")
    if not Path(folder).is_absolute():  # as the standard asks for
        folder = str(known / ".config") if (known := home()) else ""
    return Path(folder) / "cosy_jax" / "config.toml" if folder else None


def _configured(path: Path) -> str | None:
    """The weights that a configuration file names, a relative path counted from its folder; None without a file."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CosyError(f"Cannot read {path}: {error.strerror}.") from error
    except (UnicodeError, tomllib.TOMLDecodeError) as error:
        raise CosyError(f"{path} is not TOML ({error}): correct it.") from error
    unknown = sorted(content.keys() - {"weights"})
    if unknown or not isinstance(content.get("weights", ""), str):
        raise CosyError(f'{path} is to hold weights = "DIR" and nothing else: correct {", ".join(unknown) or "it"}.')
    if "weights" not in content:
        return None
    named = Path(content["weights"])
    if named.parts[:1] == ("~",) and (known := home()):
        named = known.joinpath(*named.parts[1:])
    return _folder(str(named), path.parent)
