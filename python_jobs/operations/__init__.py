"""Operations: looking after an installation and the people in it."""
