"""Version 7 of the Python client."""

import elasticsearch_documents

elasticsearch_documents.run()
