#!/bin/sh
# with-secrets PROGRAM ARGUMENTS: runs it with the site's secrets in its environment.
#
# Secrets come from files, one each, of /run/secrets (or $FLYWHEEL_SECRETS):
#   database_password  of Prefect's database
#   site_credentials   user:password that server and clients share
#
# Refuses to run anything as root: the worker holds the socket of the host's engine.
set -eu
if [ "$(id -u)" -eq 0 ]; then
  echo "with-secrets: does not run as root. Fix: set FLYWHEEL_UID and FLYWHEEL_GID to the user whom" \
    "the cycles belong to (id -u, id -g as that user)" >&2
  exit 2
fi
folder=${FLYWHEEL_SECRETS:-/run/secrets}

secret() { # NAME; its content without the line's end
  tr -d '\r\n' <"$folder/$1"
}

if [ -e "$folder/database_password" ]; then
  PREFECT_SERVER_DATABASE_PASSWORD=$(secret database_password)
  export PREFECT_SERVER_DATABASE_PASSWORD
fi
PREFECT_API_AUTH_STRING=$(secret site_credentials)
case $PREFECT_API_AUTH_STRING in
?*:?*) ;;
*)
  echo "with-secrets: $folder/site_credentials must hold user:password" >&2
  exit 2
  ;;
esac
PREFECT_SERVER_API_AUTH_STRING=$PREFECT_API_AUTH_STRING
export PREFECT_API_AUTH_STRING PREFECT_SERVER_API_AUTH_STRING
exec "$@"
