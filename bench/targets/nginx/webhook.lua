-- Checks the signature of a delivery over its raw bytes, with the libcrypto
-- that nginx is linked with.
local ffi = require "ffi"
ffi.cdef [[
typedef struct evp_md_st EVP_MD;
const EVP_MD *EVP_sha256(void);
unsigned char *HMAC(const EVP_MD *md, const void *key, int key_len, const unsigned char *data, size_t n,
	unsigned char *result, unsigned int *result_len);
int CRYPTO_memcmp(const void *a, const void *b, size_t n);
unsigned char *ngx_hex_dump(unsigned char *to, const unsigned char *from, size_t n);
]]
local C = ffi.C

local key = os.getenv("SECRET")
local sha256 = C.EVP_sha256()
local mac = ffi.new("unsigned char[32]")
local hex = ffi.new("unsigned char[64]")

local prefix = "sha256="
local length = #prefix + 64

local read_body, get_body, get_method = ngx.req.read_body, ngx.req.get_body_data, ngx.req.get_method

-- check ends the request if its signature is wrong.
return function()
	local got = ngx.var.http_x_hub_signature_256
	if get_method() ~= "POST" or not got or #got ~= length or got:sub(1, #prefix) ~= prefix then
		return ngx.exit(401)
	end
	read_body()
	local body = get_body() or ""
	C.HMAC(sha256, key, #key, body, #body, mac, nil)
	C.ngx_hex_dump(hex, mac, 32)
	if C.CRYPTO_memcmp(hex, ffi.cast("const char *", got) + #prefix, 64) ~= 0 then
		return ngx.exit(401)
	end
end
