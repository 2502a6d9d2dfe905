"""What hardware and software agree on: formats, configs, instructions, registers."""
