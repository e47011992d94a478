"""How accounts begin and are found again: invitations, and links that mails carry."""
