"""For teachers and maintainers: the command line, the classroom, the repository."""

import sys

# Reading notebooks loads jsonschema, which takes two seconds to learn a grammar of addresses where it finds this
# package; no notebook has such an address to check. Without it commands that read notebooks start at once.
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]
