/**
 * What a VM of the warm pool finds as user data until its pod comes. An image that supports the pool goes on asking while this is
 * what it gets; to any other it is a cloud-config without files, and its forwarder then fails for want of apf.json.
 */
export const POOL_USER_DATA = "#cloud-config\n\n# peerpods: no pod yet, ask again\n";
