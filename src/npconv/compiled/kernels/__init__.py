"""Sources of machine code: each module makes kernels, functions of integers and addresses."""
