{{- /* The bounds and the target that hold at some time, as server/config/autoscaling_settings.py combines them. */ -}}
{{- define "tickserve.scaleBounds" -}}
{{- $code := include "tickserve.code" . | fromJson -}}
{{- $scale := (include "tickserve.settings" . | fromJson).autoscaling -}}
{{- $least := list -}}{{- $most := list -}}{{- $target := list -}}
{{- range ternary (list $scale.open $scale.closed) (list $scale) (eq $scale.profile "calendar") -}}
{{- $profile := get $code.scaleProfiles .profile -}}
{{- $least = append $least (coalesce .min_replicas $scale.min_replicas $profile.min_replicas) -}}
{{- $most = append $most (coalesce .max_replicas $scale.max_replicas $profile.max_replicas) -}}
{{- $target = append $target (coalesce .target_ongoing_requests $scale.target_ongoing_requests $profile.target_ongoing_requests) -}}
{{- end -}}
{{- if not $scale.enabled }}{{ $least = list .Values.replicaCount }}{{ $most = $least }}{{ end -}}
{{- dict "least" (min (first $least | int) (last $least | int)) "most" (max (first $most | int) (last $most | int))
    "target" (minf (first $target) (last $target)) | toJson -}}
{{- end -}}

{{- /* How many replicas there are, or how their number is found (server/autoscaling/scale_options.py). */ -}}
{{- define "tickserve.scaleOptions" -}}
{{- $settings := include "tickserve.settings" . | fromJson -}}
{{- if $settings.autoscaling.enabled -}}
{{- $config := (include "tickserve.code" . | fromJson).autoscaling -}}
{{- $bounds := include "tickserve.scaleBounds" . | fromJson -}}
{{- $_ := set $config "min_replicas" $bounds.least -}}
{{- $_ := set $config "max_replicas" $bounds.most -}}
{{- $_ := set $config "target_ongoing_requests" $bounds.target -}}
{{- $_ := set $config "metrics_interval_s" $settings.autoscaling.metrics_interval_s -}}
{{- $_ := set $config "look_back_period_s" $settings.autoscaling.look_back_period_s -}}
{{- /* The policy's arguments: what is not in the fields above (server/autoscaling/policy_arguments.py). */ -}}
{{- $arguments := omit $settings.autoscaling "metrics_interval_s" "look_back_period_s" "enabled" "resources" -}}
{{- if ne $settings.autoscaling.profile "calendar" -}}
{{- $arguments = omit $arguments "min_replicas" "max_replicas" "target_ongoing_requests" -}}
{{- end -}}
{{- $_ := set $config.policy "policy_kwargs" (dict "settings" $arguments) -}}
{{- dict "autoscaling_config" $config | toJson -}}
{{- else -}}
{{- dict "num_replicas" $settings.replicas | toJson -}}
{{- end -}}
{{- end -}}

{{- /* What Ray sets aside for a replica: CPUs, memory, share of a GPU; likewise. */ -}}
{{- define "tickserve.actorOptions" -}}
{{- $settings := include "tickserve.settings" . | fromJson -}}
{{- $size := get (include "tickserve.code" . | fromJson).resources $settings.autoscaling.resources -}}
{{- $options := dict "num_cpus" $settings.replica_cpus -}}
{{- if eq $settings.engine "cuda" -}}
{{- $share := divf (round (mulf $settings.scheduler.max_batch_size 0.78125) 0) 100 -}}
{{- if $size }}{{ $share = $size.gpus }}{{ end -}}
{{- $_ := set $options "num_gpus" (maxf 0.01 (minf 1.0 $share)) -}}
{{- end -}}
{{- if $size }}{{ $_ := set $options "memory" $size.memory }}{{ end -}}
{{- toJson $options -}}
{{- end -}}
