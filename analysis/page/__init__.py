"""Parts of pages: tables, figures, layout."""
