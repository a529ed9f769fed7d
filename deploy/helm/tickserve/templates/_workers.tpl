{{- /* How many pods: as many as the replicas and the surge of an update need, each with room for as many replicas as its
CPUs and GPUs last for. */ -}}
{{- define "tickserve.podsFor" -}}
{{- $surge := divf (mulf .replicas .settings.max_surge_percent) 100 | ceil -}}
{{- divf (addf .replicas $surge) .each | ceil | int -}}
{{- end -}}

{{- define "tickserve.replicasEach" -}}
{{- $replica := include "tickserve.actorOptions" . | fromJson -}}
{{- $each := divf (include "tickserve.cpus" .Values.resources.limits.cpu) $replica.num_cpus | floor | int -}}
{{- if $replica.num_gpus }}{{ $each = min $each (divf (int .Values.resources.limits.gpu) $replica.num_gpus | floor | int) }}{{ end -}}
{{- $each -}}
{{- end -}}

{{- /* A Kubernetes quantity of CPUs as Ray counts it: whole ones, rounded up. */ -}}
{{- define "tickserve.cpus" -}}
{{- $text := . | toString -}}
{{- if hasSuffix "m" $text }}{{ divf (trimSuffix "m" $text) 1000 | ceil }}{{ else }}{{ ceil $text }}{{ end -}}
{{- end -}}

{{- define "tickserve.workers" -}}
{{- $settings := include "tickserve.settings" . | fromJson -}}
{{- $bounds := include "tickserve.scaleBounds" . | fromJson -}}
{{- $each := max 1 (include "tickserve.replicasEach" . | int) -}}
{{- $needed := include "tickserve.podsFor" (dict "replicas" .Values.replicaCount "each" $each "settings" $settings) | int -}}
{{- $count := default $needed (int .Values.workers.count) -}}
{{- $least := $count -}}{{- $most := $count -}}
{{- if .Values.autoscaling.enabled -}}
{{- $least = include "tickserve.podsFor" (dict "replicas" $bounds.least "each" $each "settings" $settings) | int -}}
{{- $most = include "tickserve.podsFor" (dict "replicas" $bounds.most "each" $each "settings" $settings) | int -}}
{{- $count = max $least (min $count $most) -}}
{{- end -}}
{{- dict "count" $count "least" $least "most" $most | toJson -}}
{{- end -}}

{{- /* How many worker pods a drain must leave ready: of those that can have a replica, at the least number of both. */ -}}
{{- define "tickserve.workersKept" -}}
{{- $pods := (include "tickserve.workers" . | fromJson).least | int -}}
{{- $replicas := (include "tickserve.scaleBounds" . | fromJson).least | int -}}
{{- $serving := min $pods $replicas -}}
{{- $away := toString .Values.podDisruptionBudget.maxUnavailable -}}
{{- if hasSuffix "%" $away }}{{ $away = divf (mulf $serving (trimSuffix "%" $away)) 100 | ceil }}{{ end -}}
{{- max 0 (sub $serving (int $away)) -}}
{{- end -}}
