"""GPT-2 in web pages: a model as a file that a browser reads, views of it in JavaScript, a folder to share."""
