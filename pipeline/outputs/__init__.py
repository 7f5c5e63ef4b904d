"""Operations on a finished output: derive measures, compact its files, forget videos."""
