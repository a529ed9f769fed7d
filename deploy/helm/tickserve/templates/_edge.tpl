{{- /* The edge's settings file, as JSON. */ -}}
{{- define "tickserve.edgeSettings" -}}
{{- $code := include "tickserve.code" . | fromJson -}}
{{- $serve := include "tickserve.settings" . | fromJson -}}
{{- $tls := mergeOverwrite (pick $code.settings.tls "grpc_port" "http_port") (deepCopy .Values.edge.settings) (dict
    "cert" "/run/secrets/tickserve/tls/tls.crt"
    "key" "/run/secrets/tickserve/tls/tls.key") -}}
{{- with .Values.edge.clientCaSecret }}
{{- $_ := set $tls "client_ca" (printf "/run/secrets/tickserve/client-ca/%s" $.Values.edge.clientCaKey) -}}
{{- end -}}
{{- $shared := pick $serve "max_timeout" "max_streams_per_connection" -}}
{{- /* Whether callers show keys is asked behind the edge, of the same callers. */ -}}
{{- mergeOverwrite $shared (dict "host" "0.0.0.0" "tls" $tls "security" (dict "allow_insecure_public_bind" true)) | toJson -}}
{{- end -}}
