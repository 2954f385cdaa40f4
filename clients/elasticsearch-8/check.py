"""Version 8 of the Python client."""

import elasticsearch_documents

elasticsearch_documents.run()
