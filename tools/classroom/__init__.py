"""For teachers: packs for a class without network, exercises made and graded."""
