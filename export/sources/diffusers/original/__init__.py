"""One file for a whole model, under the names that its authors gave the tensors."""
