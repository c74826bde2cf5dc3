-- Splices once the revision of a request is known, and copies it before: for endpoints whose revisions differ in their
-- presets, or one of which gets copies. Where neither is so, the selecting filter has done it, and this one is off.

function envoy_on_request(handle)
  local headers = handle:headers()
  if headers:get(TARGET) == NO_TARGET then
    return
  end
  local entry = SURFACE[string.match(headers:get(":path"), "^[^?]*")]
  if not entry or entry.body ~= "json" then
    return
  end
  local copied = entry.slot and handle:filterContext():get("copied")
  if copied then
    maybe_copy(handle, tonumber(copied))
  end
  -- What a handle gave is no longer valid after the wait for the body.
  splice_body(handle, entry, handle:filterContext(), handle:headers():get(STREAM))
end
