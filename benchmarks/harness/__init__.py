"""What every benchmark stands on: records, timing, contenders, roofline estimates, memory, command lines."""
