# For other scripts to read in: uv does not read pip's configuration, but whoever told pip where
# packages are means it for uv as well.

# follow_pip_settings PYTHON
follow_pip_settings() {
    local settings value
    settings="$("$1" -m pip config list 2>/dev/null)" || return 0
    pip_setting() {
        sed -n "s/^[a-z:]*\.\{1,2\}$1='\(.*\)'\$/\1/p" <<<"$settings" | head -n 1
    }
    value="$(pip_setting index-url)"
    [ -z "$value" ] || export UV_DEFAULT_INDEX="${UV_DEFAULT_INDEX:-$value}"
    value="$(pip_setting cert)"
    [ -z "$value" ] || export SSL_CERT_FILE="${SSL_CERT_FILE:-$value}"
}
