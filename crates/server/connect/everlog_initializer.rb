# frozen_string_literal: true

# Written by `everlog init`: every request that this application answers becomes an event in Everlog.
require_relative "../../lib/everlog_connect"

Rails.application.config.middleware.insert_before 0, EverlogConnect::Middleware
