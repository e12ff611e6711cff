"""Expressions on columns, as data cards hold them, evaluated without eval.

A card of weaver defines variables by Python expressions, "np.log(part_pt / jet_pt)". `compute`
parses one and walks its tree, in which only this may stand: names of columns, numbers, arithmetic,
comparisons, `&`, `|`, `~`, `^`, subscripts, the functions of np, ak and math listed in FUNCTIONS,
and a few methods of arrays. Everything else, attribute or builtin, is an error that names it; so a
card from elsewhere can compute, and nothing more.

Columns are awkward arrays (a list of numbers a jet) or numpy arrays (one number a jet) and are
broadcast against each other. `names` lists the columns that an expression needs.

>>> compute("np.hypot(x, y) > 4", {"x": np.array([3.0, 0]), "y": np.array([4.0, 1])}).tolist()
[True, False]
>>> sorted(names("np.log(part_pt/jet_pt)"))
['jet_pt', 'part_pt']
"""

import ast
import math
import operator
from collections.abc import Mapping
from typing import Any, NoReturn

import numpy as np


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


MODULES = {"np": "np", "numpy": "np", "ak": "ak", "awkward": "ak", "math": "math"}
FUNCTIONS = {
    "np": _words(
        """abs absolute add arccos arccosh arcsin arcsinh arctan arctan2 arctanh argmax argmin ceil
        clip cos cosh deg2rad divide equal exp exp2 expm1 fabs floor floor_divide fmod full_like
        greater greater_equal hypot isfinite isinf isnan less less_equal log log10 log1p log2
        logical_and logical_not logical_or logical_xor maximum mean median minimum mod multiply
        nan_to_num not_equal ones_like power prod rad2deg reciprocal remainder rint round sign sin
        sinh sqrt square stack std subtract sum tan tanh true_divide trunc where zeros_like"""
    ),
    "ak": _words(
        """all any argmax argmin argsort count fill_none firsts flatten full_like is_none
        local_index max mean min nan_to_num num ones_like pad_none prod sort std sum to_numpy
        values_astype where zeros_like"""
    ),
    "math": _words(
        """acos acosh asin asinh atan atan2 atanh ceil cos cosh exp fabs floor hypot log log10 log1p
        log2 pow radians sin sinh sqrt tan tanh"""
    ),
}
CONSTANTS = {
    "np": _words("pi e inf nan newaxis bool_ int32 int64 float32 float64"),
    "math": _words("pi e"),
}
METHODS = frozenset(("all", "any", "argmax", "argmin", "astype", "max", "mean", "min", "sum"))
ALONE = {"abs": np.abs}
OPERATORS: dict[type, Any] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
    ast.BitAnd: operator.and_,
    ast.BitOr: operator.or_,
    ast.BitXor: operator.xor,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
    ast.Invert: operator.invert,
}
LONGEST = 10_000  # characters of an expression


def names(expression: str) -> set[str]:
    """List the names of columns in an expression; raises ValueError for one that is not allowed."""
    tree = _parse(expression)
    found = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    return found - set(MODULES) - set(ALONE)


def compute(expression: str, columns: Mapping[str, Any]) -> Any:
    """Evaluate an expression on columns: name -> array.

    Raises ValueError that quotes the expression and what in it is not allowed, or names a column
    that is missing.
    """
    try:
        with np.errstate(divide="ignore", invalid="ignore"):
            return _value(_parse(expression), columns, expression)
    except (TypeError, IndexError, ZeroDivisionError, OverflowError) as error:
        raise ValueError(f"expression {expression!r} cannot be computed: {error}") from error


def _parse(expression: str) -> ast.expr:
    if len(expression) > LONGEST:
        _refuse(expression[:60], f"{len(expression)} characters")
    try:
        return ast.parse(expression.strip(), mode="eval").body
    except (SyntaxError, RecursionError, MemoryError) as error:
        raise ValueError(f"expression {expression!r} is no Python expression: {error}") from error


def _refuse(expression: str, what: str) -> NoReturn:
    raise ValueError(f"expression {expression!r}: {what} is not allowed")


def _value(node: Any, columns: Mapping[str, Any], source: str) -> Any:
    def of(child: Any) -> Any:
        return _value(child, columns, source)

    match node:
        case ast.Constant(value=bool() | int() | float() | None):
            return node.value
        case ast.Name(id=name):
            if name not in columns:
                raise ValueError(f"expression {source!r}: there is no column {name!r}")
            return columns[name]
        case ast.BinOp(op=ast.Pow(), left=left, right=right):
            return _power(of(left), of(right), source)
        case ast.BinOp(op=op, left=left, right=right) if type(op) in OPERATORS:
            return OPERATORS[type(op)](of(left), of(right))
        case ast.UnaryOp(op=op, operand=operand) if type(op) in OPERATORS:
            return OPERATORS[type(op)](of(operand))
        case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in OPERATORS:
            return OPERATORS[type(op)](of(left), of(right))
        case ast.Attribute(value=ast.Name(id=module), attr=name):
            kind = MODULES.get(module, "")
            if name in CONSTANTS.get(kind, ()):
                return getattr(_module(kind), name)
            _refuse(source, f"{module}.{name}")
        case ast.Call(func=ast.Attribute(attr="astype"), args=[ast.Constant(value=str() as kind)]):
            return _function(node.func, columns, source)(kind)
        case ast.Call(func=function, args=arguments, keywords=keywords):
            called = _function(function, columns, source)
            options = {k.arg: of(k.value) for k in keywords if k.arg is not None}
            if len(options) < len(keywords):
                _refuse(source, "**")
            return called(*(of(a) for a in arguments), **options)
        case ast.Subscript(value=value, slice=index):
            return of(value)[of(index)]
        case ast.Slice(lower=lower, upper=upper, step=step):
            return slice(*(None if x is None else of(x) for x in (lower, upper, step)))
        case ast.Tuple(elts=items):
            return tuple(of(x) for x in items)
        case ast.List(elts=items):
            return [of(x) for x in items]
    _refuse(source, ast.unparse(node) if isinstance(node, ast.expr) else type(node).__name__)


def _function(node: Any, columns: Mapping[str, Any], source: str) -> Any:
    match node:
        case ast.Name(id=name) if name in ALONE:
            return ALONE[name]
        case ast.Attribute(value=ast.Name(id=module), attr=name) if module in MODULES:
            if name in FUNCTIONS[MODULES[module]]:
                return getattr(_module(MODULES[module]), name)
            _refuse(source, f"{module}.{name}")
        case ast.Attribute(value=value, attr=name) if name in METHODS:
            return _method(_value(value, columns, source), name)
    _refuse(source, ast.unparse(node))


def _method(array: Any, name: str) -> Any:
    """A method of an array by the function that does the same."""
    if name == "astype":
        return lambda kind: np.asarray(array).astype(_dtype(kind))
    module = _module("np" if isinstance(array, np.ndarray) else "ak")
    return lambda *args, **options: getattr(module, name)(array, *args, **options)


def _dtype(kind: Any) -> np.dtype:
    dtype = np.dtype(kind)
    if dtype.kind not in "biuf":
        raise TypeError(f"dtype {dtype}")
    return dtype


def _power(base: Any, exponent: Any, source: str) -> Any:
    if isinstance(base, int) and isinstance(exponent, int) and abs(exponent) > 64:
        _refuse(source, f"a power of {exponent}")
    return base**exponent


def _module(kind: str) -> Any:
    if kind == "ak":
        import awkward

        return awkward
    return np if kind == "np" else math
