"""ovnas, second room: what each costs here.

Python 3.15 has a standard package of the same name; extending the path keeps its submodules importable.
"""

from pkgutil import extend_path

__path__ = extend_path(__path__, __name__)
