"""Tools that every benchmark uses: records, timing, contenders, roofline estimates, memory, tables, command lines."""
