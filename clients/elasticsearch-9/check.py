"""Version 9 of the Python client."""

import elasticsearch_documents

elasticsearch_documents.run()
