"""How the shapes and types of the package are checked while its tests run."""

from beartype import BeartypeConf, beartype

# An int is welcome where a float is annotated, as PEP 484 has it.
check = beartype(conf=BeartypeConf(is_pep484_tower=True))
