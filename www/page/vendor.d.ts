/** The files of npm packages that are served unchanged under vendor/ (scripts/build.mjs). */
declare module '*/vendor/idb-keyval/dist/index.js' {
  export * from 'idb-keyval';
}
