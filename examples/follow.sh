#!/bin/sh
# Follow tickets with curl alone, as server-sent events.
#
#     ADMIN_TOKEN=… sh examples/follow.sh [CURSOR]
#
# The response ends when the server restarts, when the token expires, or when this client reads too slowly. Run it again
# with the last cursor that it printed.
VARIABLES="{}"
[ -z "$1" ] || VARIABLES="{\"after\": \"$1\"}"

curl -sS -N -G "http://127.0.0.1:${CALLOUT_PORT:-8000}/graphql/stream" -H "Authorization: Bearer $ADMIN_TOKEN" \
  --data-urlencode "variables=$VARIABLES" --data-urlencode 'query=subscription($after: String) {
    ticketChanged(after: $after) {
      ... on TicketChange { cursor change ticketId ticket { reference status } }
      ... on StreamReady { cursor }
      ... on StreamReset { cursor reason }
    }
  }'
