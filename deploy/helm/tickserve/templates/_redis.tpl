{{- define "tickserve.redisHosts" -}}
{{- $name := include "tickserve.fullname" . -}}
{{- $hosts := list -}}
{{- range $i := until (int .Values.redis.internal.replicas) -}}
{{- $hosts = append $hosts (printf "%s-redis-%d.%s-redis.%s.svc" $name $i $name $.Release.Namespace) -}}
{{- end -}}
{{- toJson $hosts -}}
{{- end -}}

{{- /* The Redis as the replicas' settings name it. */ -}}
{{- define "tickserve.redisUrl" -}}
{{- $hosts := include "tickserve.redisHosts" . | fromJsonArray -}}
{{- if eq .Values.redis.mode "external" -}}
{{- .Values.redis.url -}}
{{- else if gt (len $hosts) 1 -}}
{{- $sentinels := list -}}
{{- range $hosts }}{{ $sentinels = append $sentinels (printf "%s:26379" .) }}{{ end -}}
{{- printf "redis+sentinel://%s/tickserve/0?sentinel_auth=true" (join "," $sentinels) -}}
{{- else -}}
{{- printf "redis://%s:6379/0" (first $hosts) -}}
{{- end -}}
{{- end -}}

{{- /* The Redis as Ray's head is told of it: Ray finds the master behind a Sentinel by itself. */ -}}
{{- define "tickserve.gcsAddress" -}}
{{- if eq .Values.redis.mode "external" -}}
{{- .Values.gcsFaultTolerance.redisAddress -}}
{{- else if gt (int .Values.redis.internal.replicas) 1 -}}
{{- printf "%s-redis-sentinel.%s.svc:26379" (include "tickserve.fullname" .) .Release.Namespace -}}
{{- else -}}
{{- printf "%s:6379" (include "tickserve.redisHosts" . | fromJsonArray | first) -}}
{{- end -}}
{{- end -}}
