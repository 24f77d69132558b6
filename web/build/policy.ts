// The pages carry a strict Content-Security-Policy. Vite's development server puts styles inline and
// reloads over its own socket, so there, and only there, the policy is left out.

import type { Plugin } from "vite";

const POLICY = /<meta\s+http-equiv="Content-Security-Policy"[\s\S]*?>/;

export function relaxPolicyWhileDeveloping(): Plugin {
  return {
    name: "relax-policy-while-developing",
    apply: "serve",
    transformIndexHtml: (html) => html.replace(POLICY, ""),
  };
}
