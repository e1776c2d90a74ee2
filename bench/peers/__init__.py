"""Programs that measure other systems, each run by an interpreter that has it."""
