/** What is served beside the page under vendor/: the files of these npm packages as they are (scripts/build.mjs). */
declare module '*/vendor/idb-keyval/dist/index.js' {
  export * from 'idb-keyval';
}
