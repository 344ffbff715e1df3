"""The running application: window, session, engine link, shell."""
