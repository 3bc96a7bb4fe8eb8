{{/* What makes certificates: once before an installation and an upgrade (hook), and daily, to renew them.
     It has rights of its own, on its secrets: (dict "root" $ "hook" true). */}}
{{- define "haldane.certificatesJob" -}}
{{- $root := .root }}
{{- $fullname := include "haldane.fullname" $root }}
{{- $name := printf "%s-certificates%s" $fullname (.hook | ternary "-hook" "") }}
{{- $operators := include "haldane.operators" $root | fromJsonArray }}
{{- $secrets := list (printf "%s-ca" $fullname) (printf "%s-controller-tls" $fullname) }}
{{- $arguments := list "/opt/haldane/certificates.py" "--prefix" $fullname }}
{{- range include "haldane.hosts" $root | fromJsonArray }}
{{- $arguments = concat $arguments (list "--host" .) }}
{{- end }}
{{- if $root.Values.gateway.enabled }}
{{- $secrets = append $secrets (printf "%s-gateway-tls" $fullname) }}
{{- $arguments = concat $arguments (list "--fleet" $root.Values.gateway.fleet) }}
{{- end }}
{{- if $root.Values.serviceMonitor.enabled }}
{{- $secrets = append $secrets (printf "%s-monitoring-tls" $fullname) }}
{{- $arguments = append $arguments "--monitoring" }}
{{- end }}
{{- range $operators }}
{{- $secrets = append $secrets (printf "%s-operator-%s" $fullname .name) }}
{{- $arguments = concat $arguments (list "--operator" .name) }}
{{- end -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ $name }}
  {{- include "haldane.certificatesMeta" (dict "root" $root "hook" .hook "weight" "-3") | nindent 2 }}
automountServiceAccountToken: false
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: {{ $name }}
  {{- include "haldane.certificatesMeta" (dict "root" $root "hook" .hook "weight" "-3") | nindent 2 }}
rules:
  # To create cannot be limited to names.
  - apiGroups: [""]
    resources: [secrets]
    verbs: [create]
  - apiGroups: [""]
    resources: [secrets]
    resourceNames: {{- toYaml $secrets | nindent 6 }}
    verbs: [get, update]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: {{ $name }}
  {{- include "haldane.certificatesMeta" (dict "root" $root "hook" .hook "weight" "-2") | nindent 2 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: {{ $name }}
subjects:
  - kind: ServiceAccount
    name: {{ $name }}
    namespace: {{ $root.Release.Namespace }}
---
{{- if .hook }}
apiVersion: batch/v1
kind: Job
metadata:
  name: {{ $name }}
  {{- include "haldane.certificatesMeta" (dict "root" $root "hook" true "weight" "-1") | nindent 2 }}
spec:
  {{- include "haldane.certificatesPod" (dict "root" $root "account" $name "arguments" $arguments) | nindent 2 }}
{{- else }}
apiVersion: batch/v1
kind: CronJob
metadata:
  name: {{ $name }}
  {{- include "haldane.certificatesMeta" (dict "root" $root "hook" false "weight" "") | nindent 2 }}
spec:
  schedule: "17 3 * * *"
  concurrencyPolicy: Forbid
  successfulJobsHistoryLimit: 1
  jobTemplate:
    spec:
      {{- include "haldane.certificatesPod" (dict "root" $root "account" $name "arguments" $arguments) | nindent 6 }}
{{- end }}
{{- end -}}

{{- define "haldane.certificatesMeta" -}}
labels: {{- include "haldane.labels" (dict "root" .root "part" "certificates") | nindent 2 }}
{{- if .hook }}
annotations:
  helm.sh/hook: pre-install,pre-upgrade
  helm.sh/hook-weight: {{ .weight | quote }}
  helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end }}
{{- end -}}

{{- define "haldane.certificatesPod" -}}
backoffLimit: 3
activeDeadlineSeconds: 300
template:
  metadata:
    labels: {{- include "haldane.selector" (dict "root" .root "part" "certificates") | nindent 6 }}
  spec:
    restartPolicy: Never
    serviceAccountName: {{ .account }}
    automountServiceAccountToken: true
    enableServiceLinks: false
    securityContext: {{- include "haldane.podSecurity" .root | nindent 6 }}
    {{- with .root.Values.imagePullSecrets }}
    imagePullSecrets: {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- with .root.Values.nodeSelector }}
    nodeSelector: {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- with .root.Values.tolerations }}
    tolerations: {{- toYaml . | nindent 6 }}
    {{- end }}
    containers:
      - name: certificates
        image: {{ include "haldane.image" (dict "image" .root.Values.image "root" .root) }}
        imagePullPolicy: {{ .root.Values.image.pullPolicy }}
        command: [/opt/haldane/bin/python]
        args: {{- toYaml .arguments | nindent 10 }}
        securityContext: {{- include "haldane.containerSecurity" .root | nindent 10 }}
        resources:
          requests: {cpu: 50m, memory: 64Mi}
          limits: {memory: 256Mi}
        volumeMounts:
          - {name: tmp, mountPath: /tmp}
    volumes:
      - name: tmp
        emptyDir: {medium: Memory, sizeLimit: 1Mi}
{{- end -}}
