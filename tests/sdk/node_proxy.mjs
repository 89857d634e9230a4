// Preloaded with `node --import ./node_proxy.mjs`: makes Node's own fetch heed HTTPS_PROXY. Node 22.21 and 24 do it
// themselves with NODE_USE_ENV_PROXY=1; earlier ones need this.
import { EnvHttpProxyAgent, setGlobalDispatcher } from "undici";

setGlobalDispatcher(new EnvHttpProxyAgent());
