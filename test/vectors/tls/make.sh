#!/usr/bin/env bash
# Made every file here, once, with OpenSSL 3.0. Keys that are known to everybody: for tests only.
set -euo pipefail
cd "$(dirname "$0")"
days=36500

authority() { # NAME SUBJECT
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days $days -sha256 \
    -keyout "$1.key" -out "$1.pem" -subj "/CN=$2" -addext 'keyUsage=critical,keyCertSign'
}

signed() { # NAME SUBJECT AUTHORITY
  openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$1.key" -out "$1.csr" -subj "/CN=$2"
  openssl x509 -req -in "$1.csr" -CA "$3.pem" -CAkey "$3.key" -CAcreateserial -days $days -sha256 -out "$1.pem" \
    -extfile <(printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=CA:FALSE\n')
}

authority authority 'Authority of the tests'
authority other 'Another authority of the tests'
signed server server authority
signed renewed renewed authority
signed client client authority
signed stranger stranger other
openssl pkcs8 -topk8 -v2 aes-256-cbc -in server.key -passout pass:open-sesame -out server-encrypted.key
rm -f -- *.csr *.srl authority.key other.key
