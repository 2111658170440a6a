"""Operations that several normalizers share."""
