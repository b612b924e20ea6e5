"""Operations: check an installation, and remove a person's data."""
