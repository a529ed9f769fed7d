{{- /* What the code says, made by `python -m scripts.helm_chart generate`. */ -}}
{{- define "tickserve.code" -}}
{{- .Files.Get "files/tickserve.json" -}}
{{- end -}}

{{- define "tickserve.profile" -}}
{{- coalesce .Values.config.profile .Values.env.BATCH_CONFIG_PROFILE .Values.settings.profile | default "" -}}
{{- end -}}

{{- /* Settings that follow from other values, as JSON. */ -}}
{{- define "tickserve.derived" -}}
{{- $windows := dict -}}
{{- if ne .Values.redis.mode "none" -}}
{{- $windows = dict "store" "redis" "redis_url" (include "tickserve.redisUrl" .) -}}
{{- end -}}
{{- $scheduler := dict -}}
{{- with .Values.config.batchSize }}{{ $_ := set $scheduler "max_batch_size" . }}{{ end -}}
{{- if hasKey .Values.config "waitTimeMs" -}}
{{- $_ := set $scheduler "max_queue_delay" (divf .Values.config.waitTimeMs 1000) -}}
{{- end -}}
{{- $scale := dict "enabled" .Values.autoscaling.enabled -}}
{{- with .Values.autoscaling.minReplicas }}{{ $_ := set $scale "min_replicas" . }}{{ end -}}
{{- with .Values.autoscaling.maxReplicas }}{{ $_ := set $scale "max_replicas" . }}{{ end -}}
{{- $settings := dict
    "autoscaling" $scale
    "host" "0.0.0.0"
    "profile" (include "tickserve.profile" .)
    "registry" .Values.persistence.mountPath
    "replicas" .Values.replicaCount
    "models" (dict "compiled_cache" "/var/cache/tickserve/compiled")
    "metrics" (dict "host" "0.0.0.0")
    "security" (dict "allow_insecure_public_bind" true)
    "scheduler" $scheduler
    "windows" $windows -}}
{{- with .Values.env.MODEL_PATH }}{{ $_ := set $settings "model_path" . }}{{ end -}}
{{- if gt (int .Values.resources.limits.gpu) 0 }}{{ $_ := set $settings "engine" "cuda" }}{{ end -}}
{{- with .Values.keys.existingSecret }}{{ $_ := set $settings.security "keys_file" (printf "/run/secrets/tickserve/keys/%s" $.Values.keys.key) }}{{ end -}}
{{- with include "tickserve.redisSecret" . }}{{ $_ := set $settings "redis_password_file" (printf "/run/secrets/tickserve/redis/%s" $.Values.redis.passwordKey) }}{{ end -}}
{{- toJson $settings -}}
{{- end -}}

{{- /* All settings of the replicas, as JSON: defaults, then the profile, then what follows from other values, then the
given ones. `server.config.settings` has the same order. */ -}}
{{- define "tickserve.settings" -}}
{{- /* Asked for in many places: made once. The schema lets nobody give it. */ -}}
{{- if not (hasKey .Values "madeSettings") }}{{ $_ := set .Values "madeSettings" (include "tickserve.madeSettings" .) }}{{ end -}}
{{- .Values.madeSettings -}}
{{- end -}}

{{- define "tickserve.madeSettings" -}}
{{- $code := include "tickserve.code" . | fromJson -}}
{{- $settings := $code.settings -}}
{{- with include "tickserve.profile" . -}}
{{- $settings = mergeOverwrite $settings (get $code.profiles .) -}}
{{- end -}}
{{- $settings = mergeOverwrite $settings (include "tickserve.derived" . | fromJson) (omit (deepCopy .Values.settings) "profile") -}}
{{- range $name, $route := $settings.routes -}}
{{- $_ := set $settings.routes $name (mergeOverwrite (deepCopy $code.route) $route) -}}
{{- end -}}
{{- if not $settings.replica_cpus -}}
{{- $size := get $code.resources $settings.autoscaling.resources -}}
{{- if $size }}{{ $_ := set $settings "replica_cpus" $size.cpus }}{{ end -}}
{{- end -}}
{{- if not $settings.engine_threads -}}
{{- $_ := set $settings "engine_threads" (max 1 (sub (int $settings.replica_cpus) 1)) -}}
{{- end -}}
{{- toJson $settings -}}
{{- end -}}

{{- /* What `tickserve config` prints for these settings (server/serve_config.py), but for the mark's own text. */ -}}
{{- define "tickserve.serveConfig" -}}
{{- $code := include "tickserve.code" . | fromJson -}}
{{- $settings := include "tickserve.settings" . | fromJson -}}
{{- $sent := deepCopy $settings -}}
{{- $fixed := deepCopy $sent -}}
{{- range concat $code.live $code.scale }}{{ $_ := unset $fixed . }}{{ end -}}
{{- $mark := printf "%s%s" $code.mark (toJson $fixed | sha256sum | trunc 16) -}}
{{- $build := dict -}}
{{- if $settings.model_path }}{{ $build = pick $settings "registry" "model_path" "default_model" }}{{ end -}}
{{- $level := upper $settings.log.level -}}
{{- if and (eq $level "INFO") (not $settings.access_log) }}{{ $level = "WARNING" }}{{ end -}}
{{- $deployment := mergeOverwrite $code.deployment (dict
    "max_surge_percent" $settings.max_surge_percent
    "user_config" $sent
    "ray_actor_options" (set (include "tickserve.actorOptions" . | fromJson) "resources" (dict $mark 0))
    "logging_config" (dict
      "enable_access_log" $settings.access_log
      "encoding" (ternary "TEXT" "JSON" (eq $settings.log.format "console"))
      "log_level" $level))
    (include "tickserve.scaleOptions" . | fromJson) -}}
{{- $application := mergeOverwrite $code.application (dict "args" $build "deployments" (list $deployment)) -}}
{{- $servicer := ternary "add_services_with_reflection" "add_services" $settings.reflection -}}
{{- dict
    "proxy_location" "EveryNode"
    "http_options" (dict "host" $settings.host "port" $settings.http_port)
    "grpc_options" (dict "port" $settings.grpc_port "enable_reflection" false
      "grpc_servicer_functions" (list (printf "server.rpc.ingress.%s" $servicer)))
    "applications" (list $application) | toPrettyJson -}}
{{- end -}}
