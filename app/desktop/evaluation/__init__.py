"""The evaluation of models: what is asked, the page of figures, its charts."""
