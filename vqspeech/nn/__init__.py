"""Parts of models; they take plain arguments and know no file."""
