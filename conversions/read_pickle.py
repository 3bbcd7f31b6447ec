"""A pickle as plain data: a stack machine for those opcodes that a file of weights consists of.

Python's own unpickler does not suit a foreign file, even where it can import nothing: one opcode makes it reserve
gigabytes for its memo, and a few hundred bytes make a key whose hash takes years. Here each opcode does a bounded
amount of work, and there is a bounded number of them. Opcodes: `pickletools` of the standard library.
"""

import pickletools
from collections.abc import Callable
from typing import Any

_MAX_OPCODES = 500_000  # the released hift.pt has 10 523
_LARGEST = 2**63
_KEYS = (str, int, float, type(None))

_PUSHED = frozenset(
    {
        *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
        *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
        *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
    }
)
_MADE: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_TUPLE": tuple,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_WITHOUT_EFFECT = ("PROTO", "FRAME")


def read_pickle(content: bytes, find: Callable[[str, str], Any], refer: Callable[[Any], Any], function: type) -> Any:
    """What the pickle holds: None, bool, int, float, str, bytes, tuple, list, dict, and what `find` and `refer` return.

    `find` gives a stand-in for (module, name), `refer` one for a persistent id; only stand-ins of the type `function`
    are called. The state that a dict is given is left out. ValueError for anything else, and for a damaged pickle;
    what `find`, `refer` and the stand-ins raise passes through.
    """
    machine = _Machine(find, refer, function)
    for count, (opcode, argument, _) in enumerate(pickletools.genops(content)):
        if count == _MAX_OPCODES:
            raise ValueError(f"more than {_MAX_OPCODES} opcodes")
        if opcode.name == "STOP":
            return machine.pop()
        machine.run(opcode.name, argument)
    raise ValueError("it has no end")


class _Machine:
    def __init__(self, find: Callable[[str, str], Any], refer: Callable[[Any], Any], function: type) -> None:
        self.find, self.refer, self.function = find, refer, function
        self.stack: list[Any] = []
        self.marked: list[list[Any]] = []  # the stacks below each mark
        self.memo: dict[int, Any] = {}

    def run(self, name: str, argument: Any) -> None:
        if name in _PUSHED:
            if isinstance(argument, int) and abs(argument) >= _LARGEST:
                raise ValueError("a number is too large")
            self.stack.append(argument)
        elif name in _MADE:
            self.stack.append(_MADE[name]())
        elif name in _TUPLES:
            self.stack.append(tuple(reversed([self.pop() for _ in range(_TUPLES[name])])))
        elif name in _HANDLERS:
            _HANDLERS[name](self, argument)
        elif name not in _WITHOUT_EFFECT:
            raise ValueError(f"opcode {name}, which plain weights do not have")

    def pop(self) -> Any:
        if not self.stack:
            raise ValueError("its stack is empty")
        return self.stack.pop()

    def top(self, kind: type) -> Any:
        """The uppermost value, which must be of that type."""
        if not self.stack or not isinstance(self.stack[-1], kind):
            raise ValueError(f"no {kind.__name__} where one is needed")
        return self.stack[-1]

    def mark(self, _: Any) -> None:
        self.marked.append(self.stack)
        self.stack = []

    def pop_mark(self) -> list[Any]:
        """The values since the last mark."""
        if not self.marked:
            raise ValueError("a mark is missing")
        items, self.stack = self.stack, self.marked.pop()
        return items

    def make_tuple(self, _: Any) -> None:
        items = self.pop_mark()
        self.stack.append(tuple(items))

    def make_list(self, _: Any) -> None:
        items = self.pop_mark()
        self.stack.append(items)

    def make_dict(self, _: Any) -> None:
        items = self.pop_mark()
        self.stack.append({})
        self.set_items(items)

    def set_items(self, items: list[Any]) -> None:
        target = self.top(dict)
        keys = items[::2]
        if len(items) % 2 or not all(isinstance(key, _KEYS) for key in keys):
            raise ValueError("a key that is neither text nor a number")
        target.update(zip(keys, items[1::2], strict=True))

    def set_item(self, _: Any) -> None:
        value, key = self.pop(), self.pop()
        self.set_items([key, value])

    def append(self, _: Any) -> None:
        value = self.pop()
        self.top(list).append(value)

    def extend(self, _: Any) -> None:
        items = self.pop_mark()
        self.top(list).extend(items)

    def put(self, index: int | None) -> None:
        self.memo[len(self.memo) if index is None else index] = self.top(object)

    def get(self, index: int) -> None:
        if index not in self.memo:
            raise ValueError("it recalls what it has not kept")
        self.stack.append(self.memo[index])

    def named(self, argument: str) -> None:
        module, _, name = argument.partition(" ")
        self.stack.append(self.find(module, name))

    def named_on_stack(self, _: Any) -> None:
        name, module = self.pop(), self.pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise ValueError("a name that is no text")
        self.stack.append(self.find(module, name))

    def call(self, _: Any) -> None:
        arguments = self.top(tuple)
        self.pop()
        function = self.top(self.function)
        self.pop()
        self.stack.append(function(*arguments))

    def build(self, _: Any) -> None:
        self.pop()
        self.top(dict)


_HANDLERS: dict[str, Callable[[_Machine, Any], None]] = {
    "MARK": _Machine.mark,
    "TUPLE": _Machine.make_tuple,
    "LIST": _Machine.make_list,
    "DICT": _Machine.make_dict,
    "SETITEM": _Machine.set_item,
    "SETITEMS": lambda machine, _: machine.set_items(machine.pop_mark()),
    "APPEND": _Machine.append,
    "APPENDS": _Machine.extend,
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"), _Machine.put),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), _Machine.get),
    "GLOBAL": _Machine.named,
    "STACK_GLOBAL": _Machine.named_on_stack,
    "REDUCE": _Machine.call,
    "BINPERSID": lambda machine, _: machine.stack.append(machine.refer(machine.pop())),
    "BUILD": _Machine.build,
}
