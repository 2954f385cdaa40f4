"""Version 9 of the Python client."""

import elasticsearch_documents
import elasticsearch_searches

elasticsearch_documents.run()
elasticsearch_searches.run()
