/** The events of the Prompt API. Types only; nothing here exists at run time. */

export interface MonitorEventMap {
  downloadprogress: ProgressEvent;
}

export interface LanguageModelEventMap {
  contextoverflow: Event;
  quotaoverflow: Event;
}
