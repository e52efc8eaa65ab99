import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vite";
import { record } from "./build/record.ts";

const network = "http://127.0.0.1:8470"; // `npm run dev` shows the network that `qanat up` (or the test's rehearsal) serves here

export default defineConfig({
  base: "./", // also right behind a proxy that puts the page under a path
  plugins: [svelte(), record()],
  server: { proxy: { "/api": { target: process.env.QANAT_PAGE ?? network, changeOrigin: true } } },
  build: {
    outDir: "../src/qanat/node/dashboard/static",
    emptyOutDir: true,
    assetsInlineLimit: 0, // the content security policy forbids data: addresses
    modulePreload: { polyfill: false },
    sourcemap: false,
    target: "es2022",
    reportCompressedSize: true,
  },
});
