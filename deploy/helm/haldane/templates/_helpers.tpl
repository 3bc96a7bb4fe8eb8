{{- define "haldane.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The labels that select: (dict "root" $ "part" "controller"). */}}
{{- define "haldane.selector" -}}
app.kubernetes.io/name: haldane
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .part }}
{{- end -}}

{{- define "haldane.labels" -}}
{{ include "haldane.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end -}}

{{/* An image: (dict "image" .Values.image "root" $). */}}
{{- define "haldane.image" -}}
{{- if .image.digest -}}
{{ .image.repository }}@{{ .image.digest }}
{{- else -}}
{{ .image.repository }}:{{ default .root.Chart.AppVersion .image.tag }}
{{- end -}}
{{- end -}}

{{/* The secret of a certificate: (dict "root" $ "of" "controller"), "gateway" or "monitoring". */}}
{{- define "haldane.tlsSecret" -}}
{{- if eq .root.Values.tls.source "secret" -}}
{{- required (printf "tls.source is secret: tls.secret.%s names it" .of) (index .root.Values.tls.secret .of) -}}
{{- else -}}
{{ include "haldane.fullname" .root }}-{{ .of }}-tls
{{- end -}}
{{- end -}}

{{/* The names that the controllers are reached by. */}}
{{- define "haldane.hosts" -}}
{{- $name := include "haldane.fullname" . -}}
{{- $namespace := .Release.Namespace -}}
{{- $hosts := list $name (printf "%s.%s" $name $namespace) (printf "%s.%s.svc" $name $namespace) (printf "*.%s-pods.%s.svc" $name $namespace) -}}
{{- concat $hosts (list "localhost") .Values.tls.hosts | toJson -}}
{{- end -}}

{{/* Where proxies connect to, in the order of preference: each controller by its own name, since reports count where
     a proxy has its stream. */}}
{{- define "haldane.xds" -}}
{{- $name := include "haldane.fullname" . -}}
{{- $addresses := list -}}
{{- range until (int .Values.replicas) -}}
{{- $addresses = append $addresses (printf "%s-%d.%s-pods.%s.svc:18000" $name . $name $.Release.Namespace) -}}
{{- end -}}
{{- join "," $addresses -}}
{{- end -}}

{{/* The certificates that are issued to people and programs, with their roles. */}}
{{- define "haldane.operators" -}}
{{- $operators := list -}}
{{- if ne .Values.tls.source "secret" -}}
{{- $operators = .Values.operators -}}
{{- end -}}
{{- $operators | toJson -}}
{{- end -}}

{{- define "haldane.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "haldane.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{/* The settings file. What the chart sets, `settings` cannot: the pod depends on it. */}}
{{- define "haldane.settings" -}}
{{- $fixed := dict "xds_listen" (printf "%s:18000" .Values.bind) "admin_listen" (printf "%s:18001" .Values.bind) "http_listen" (printf "%s:18002" .Values.bind) -}}
{{- $_ := set $fixed "tls" (dict "certificate_file" "/etc/haldane/tls/tls.crt" "key_file" "/etc/haldane/tls/tls.key" "client_ca_file" "/etc/haldane/tls/ca.crt") -}}
{{- $access := list -}}
{{- range include "haldane.operators" . | fromJsonArray -}}
{{- $access = append $access (dict "subject" .name "role" .role "services" (default (list "*") .services)) -}}
{{- end -}}
{{- if and .Values.serviceMonitor.enabled (ne .Values.tls.source "secret") -}}
{{- $access = append $access (dict "subject" "monitoring" "role" "viewer") -}}
{{- end -}}
{{- if and (eq .Values.store.kind "etcd") (ne .Values.tls.source "secret") -}}
{{- $access = append $access (dict "spiffe" "spiffe://haldane/ns/default/controller" "role" "controller") -}}
{{- end -}}
{{- $access = concat $access .Values.access -}}
{{- if and (eq .Values.store.kind "etcd") (gt (int .Values.replicas) 1) -}}
{{- $controllers := false -}}
{{- range $access }}{{ if eq .role "controller" }}{{ $controllers = true }}{{ end }}{{ end -}}
{{- if not $controllers }}{{ fail "access: with tls.source secret and several replicas, a binding gives the controllers' own certificate the role controller (docs/several-controllers.md)" }}{{ end -}}
{{- end -}}
{{- if not $access -}}
{{- fail "nobody may do anything: name operators or access (docs/access.md)" -}}
{{- end -}}
{{- $_ := set $fixed "access" $access -}}
{{- if or .Values.serviceFiles.files .Values.serviceFiles.configMap }}{{ $_ := set $fixed "apply_from" "/etc/haldane/services" }}{{ end -}}
{{- if .Values.proxies }}{{ $_ := set $fixed "proxies" .Values.proxies }}{{ end -}}
{{- if .Values.oidc }}{{ $_ := set $fixed "oidc" .Values.oidc }}{{ end -}}
{{- if eq .Values.store.kind "etcd" -}}
{{- $etcd := .Values.store.etcd -}}
{{- if not $etcd.endpoints }}{{ fail "store.etcd.endpoints: HOST:PORT of etcd's members" }}{{ end -}}
{{- $_ := set $fixed "store" (printf "etcd:%s?prefix=%s" (join "," $etcd.endpoints) $etcd.prefix) -}}
{{- $table := dict -}}
{{- if $etcd.tlsSecret -}}
{{- $_ := set $table "ca_file" "/etc/haldane/etcd/ca.crt" -}}
{{- if $etcd.clientCertificate -}}
{{- $_ := set $table "certificate_file" "/etc/haldane/etcd/tls.crt" -}}
{{- $_ := set $table "key_file" "/etc/haldane/etcd/tls.key" -}}
{{- end -}}
{{- end -}}
{{- if $etcd.user -}}
{{- $_ := set $table "user" $etcd.user -}}
{{- $_ := set $table "password_file" "/etc/haldane/etcd-user/password" -}}
{{- $_ := required "store.etcd.user needs passwordSecret" $etcd.passwordSecret -}}
{{- end -}}
{{- if $table }}{{ $_ := set $fixed "etcd" $table }}{{ end -}}
{{- else -}}
{{- if gt (int .Values.replicas) 1 -}}
{{- fail "replicas: more than one controller needs store.kind: etcd" -}}
{{- end -}}
{{- $_ := set $fixed "store" "sqlite:/var/lib/haldane/haldane.db" -}}
{{- end -}}
{{- range $name, $_ := $fixed -}}
{{- if hasKey $.Values.settings $name }}{{ fail (printf "settings.%s: the chart has a value of its own for it" $name) }}{{ end -}}
{{- end -}}
{{- merge $fixed .Values.settings | toToml -}}
{{- end -}}
