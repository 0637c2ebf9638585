"""What collaboration gives: item factors, made of private sums and public content alone."""
